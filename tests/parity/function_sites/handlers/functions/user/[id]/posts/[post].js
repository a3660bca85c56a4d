import { tell } from "../../../../tell.js";
export const onRequestGet = (context) => tell(context, "post");
