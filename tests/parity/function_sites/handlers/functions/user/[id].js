import { tell } from "../../tell.js";
export const onRequest = (context) => tell(context, "user");
