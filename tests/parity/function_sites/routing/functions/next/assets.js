export const onRequest = ({ env }) => env.ASSETS.fetch("https://elsewhere.example/text.txt");
