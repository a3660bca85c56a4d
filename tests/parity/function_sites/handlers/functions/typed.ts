interface Named {
  name: string;
}
export const onRequestGet: PagesFunction = async ({ request }) => {
  const named: Named = { name: new URL(request.url).searchParams.get("name") ?? "nobody" };
  return new Response(`typed ${named.name satisfies string}`);
};
