import { render } from "preact";
import "../styles/base.css";
import "../styles/docs.css";
import { DocsApp } from "./app.tsx";

const root = document.getElementById("app");
if (root) render(<DocsApp />, root);
