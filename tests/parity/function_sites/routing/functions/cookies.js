export const onRequest = ({ request }) => {
  const headers = new Headers({ "x-cookie": request.headers.get("cookie") ?? "none" });
  headers.append("set-cookie", "a=1; Path=/");
  headers.append("set-cookie", "b=2; HttpOnly");
  return new Response("cookies", { headers });
};
