// Node's socket.io with @socket.io/redis-adapter, beside airnode's chat in the same run: node chat_node.cjs REDIS_SOCKET
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");

async function main() {
  const publisher = createClient({ socket: { path: process.argv[2] } });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(publisher, subscriber) });
  let offset = 0;
  io.on("connection", (socket) => {
    const user = { id: socket.id, name: "Student", role: "student" };
    socket.on("joinRoom", async (room, ack) => {
      await socket.join(room);
      ack({ ok: true, room });
    });
    socket.on("sendMessage", (room, { content, type }, ack) => {
      const id = `${room}-${process.pid}-${++offset}`;
      io.to(room).emit("message", { id, room, offset: `1:${offset}`, user, content, type, at: Date.now() });
      ack({ ok: true, id });
    });
  });
  http.listen(0, "127.0.0.1", () => console.log(process.pid, http.address().port));
  // The command "node" may be a wrapper, so the end of its standard input ends this process.
  process.stdin.on("end", () => process.exit(0)).resume();
}
main();
