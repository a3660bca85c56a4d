export const onRequestPost = async ({ request }) => Response.json(await request.json());
