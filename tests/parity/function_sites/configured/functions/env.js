const NAMES = ["GREETING", "EMPTY", "NUMBER", "FLAG", "NESTED", "UNICODE", "ABSENT", "CF_PAGES"];
export const onRequestGet = ({ env }) => Response.json(NAMES.map((name) => [typeof env[name], env[name]]));
