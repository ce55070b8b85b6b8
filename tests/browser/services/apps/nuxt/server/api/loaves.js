export default defineEventHandler(() => ["rye", "spelt"]);
