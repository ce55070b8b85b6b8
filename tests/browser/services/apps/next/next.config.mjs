// node_modules is a symbolic link to somewhere else.
export default { turbopack: { root: "/" } };
