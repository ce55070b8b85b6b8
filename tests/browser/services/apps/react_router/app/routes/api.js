export const loader = () => Response.json(["rye", "spelt"]);
