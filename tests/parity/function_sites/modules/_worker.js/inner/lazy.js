export default () => new Response("lazily");
