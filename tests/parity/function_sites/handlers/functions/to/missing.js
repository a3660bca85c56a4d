export const onRequest = ({ next }) => next("/dir/nothing");
