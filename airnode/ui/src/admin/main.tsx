import { render } from "preact";
import "../styles/base.css";
import "../styles/admin.css";
import { AdminApp } from "./app.tsx";
import { AdminVisit } from "./visit.ts";

const root = document.getElementById("app");
if (root) render(<AdminApp visit={new AdminVisit()} />, root);
