export const onRequest = async ({ next, data }) => {
  data.inner = true;
  return next();
};
