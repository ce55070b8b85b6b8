import { Component, signal } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { provideRouter, RouterLink, RouterOutlet } from "@angular/router";

@Component({
  template: `
    <h1>Bakery</h1>
    <p>Baked: nothing</p>
    <button (click)="load()">Load</button>
    @for (loaf of loaves(); track loaf) {
      <li>{{ loaf }}</li>
    }
  `,
})
class Loaves {
  readonly loaves = signal<string[]>([]);

  async load() {
    this.loaves.set(await (await fetch("/loaves.json")).json());
  }
}

@Component({ template: "<h1>An order</h1>" })
class Order {}

@Component({ template: "<h1>No such page</h1>" })
class Missing {}

@Component({
  selector: "app-root",
  imports: [RouterLink, RouterOutlet],
  template: `<router-outlet /><a routerLink="/orders/7">Order 7</a>`,
})
class App {}

const routes = [
  { path: "", component: Loaves },
  { path: "orders/:id", component: Order },
  { path: "**", component: Missing },
];
bootstrapApplication(App, { providers: [provideRouter(routes)] });
