export const onRequest = ({ next }) => next("/page");
