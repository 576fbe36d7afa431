import { render } from "preact";
import "../styles/base.css";
import "../styles/stage.css";
import "../styles/studio.css";
import "../styles/golive.css";
import "../styles/room.css";
import { exposeDebug } from "../live/debug.ts";
import { LiveRoom } from "../live/room.ts";
import { followKeyboard } from "../lib/keyboard.ts";
import { StudioApp } from "./app.tsx";
import { StudioVisit } from "./visit.ts";

followKeyboard();
const room = new LiveRoom();
exposeDebug(room);
const root = document.getElementById("app");
if (root) render(<StudioApp visit={new StudioVisit(room)} />, root);
