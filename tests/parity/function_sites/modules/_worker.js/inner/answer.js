export const answer = (url) => new Response(`inner ${url.pathname}`);
