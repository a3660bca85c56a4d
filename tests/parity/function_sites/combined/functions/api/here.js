export const onRequestGet = ({ data }) => Response.json(data);
