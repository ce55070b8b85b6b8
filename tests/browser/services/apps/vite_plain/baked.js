export const baked = "Baked: nothing";
