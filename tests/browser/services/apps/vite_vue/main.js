import { createApp, h } from "vue";
import { createRouter, createWebHistory, RouterLink, RouterView } from "vue-router";

import Loaves from "./Loaves.vue";

const page = (text) => ({ render: () => h("h1", text) });
const router = createRouter({
  history: createWebHistory(import.meta.env.BASE_URL),
  routes: [
    { path: "/", component: Loaves },
    { path: "/orders/:id", component: page("An order") },
    { path: "/:rest(.*)*", component: page("No such page") },
  ],
});
const app = () => [h(RouterView), h(RouterLink, { to: "/orders/7" }, () => "Order 7")];
createApp(app).use(router).mount("#app");
