import { reactRouter } from "@react-router/dev/vite";

// node_modules is a symbolic link to somewhere else.
export default { plugins: [reactRouter()], server: { fs: { strict: false } } };
