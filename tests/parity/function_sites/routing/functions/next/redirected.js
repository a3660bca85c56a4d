export const onRequest = ({ env }) => env.ASSETS.fetch("https://elsewhere.example/page.html");
