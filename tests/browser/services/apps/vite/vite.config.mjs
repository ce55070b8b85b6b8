// Modules that take long to compile, as with Sass or a large framework: eight at a time, 200 ms each.
import { setTimeout } from "node:timers/promises";

const AT_A_TIME = 8;
const compilers = Array(AT_A_TIME).fill(Promise.resolve());
let next = 0;

function compiled() {
  const turn = next++ % AT_A_TIME;
  compilers[turn] = compilers[turn].then(() => setTimeout(200));
  return compilers[turn];
}

export default {
  plugins: [{ name: "slow", transform: (code, id) => (id.includes("/src/") ? compiled() : null) }],
};
