export const onRequest = () => {
  throw new Error("on purpose");
};
