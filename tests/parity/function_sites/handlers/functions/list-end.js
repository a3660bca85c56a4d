export const onRequestGet = [async ({ next }) => next(), async ({ next }) => next()];
