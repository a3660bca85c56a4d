import { tell } from "../tell.js";
export const onRequestGet = (context) => tell(context, "get");
export const onRequestPost = (context) => tell(context, "post");
export const onRequestPut = (context) => tell(context, "put");
export const onRequestPatch = (context) => tell(context, "patch");
export const onRequestDelete = (context) => tell(context, "delete");
export const onRequestOptions = () => new Response(null, { status: 204, headers: { allow: "GET, OPTIONS" } });
export const onRequestHead = () => new Response(null, { headers: { "x-head": "own" } });
