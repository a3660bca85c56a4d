import { tell } from "../../tell.js";
export const onRequest = [
  ({ next, request }) => next(new Request(new URL("/elsewhere?changed=1", request.url), { method: "PUT", body: "new" })),
  (context) => tell(context, "second"),
];
