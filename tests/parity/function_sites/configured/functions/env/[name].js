export const onRequestGet = ({ env, params }) => new Response(String(env[params.name]));
