export default {
  title: "Loaf",
  render: ({ name }) => `<h1>A loaf of ${name}</h1><p>Baked: nothing</p>`,
};

export const Rye = { args: { name: "rye" } };
export const Spelt = { args: { name: "spelt" } };
