export const GET = () => Response.json(["rye", "spelt"]);
