export const onRequest = (context) => Response.json(Object.keys(context).sort());
