// Official clients (npm socket.io-client) in one room over two nodes.
// node room_clients.cjs URLS TOKENS ROOM TRANSPORTS: URLS, TOKENS and TRANSPORTS are separated by commas. Prints what happened as JSON.
const { io } = require("socket.io-client");

const [urls, tokens, room, transports] = process.argv.slice(2);
const result = { joined: [], texts: [], recovered: false, positions: true, errors: [] };

function once(emitter, event, seconds) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within ${seconds} s`)), seconds * 1000);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

const ask = (socket, event, ...args) => socket.timeout(10000).emitWithAck(event, ...args);

async function until(holds, what) {
  for (let waited = 0; !holds(); waited += 20) {
    if (waited > 20000) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function run() {
  const sockets = [];
  for (const [number, url] of urls.split(",").entries()) {
    const token = tokens.split(",")[number];
    const socket = io(url, { auth: { token }, transports: transports.split(","), forceNew: true, reconnectionDelay: 50 });
    socket.on("connect_error", (error) => result.errors.push(`${number}: ${error.message}`));
    result.texts.push([]);
    socket.on("message", (message, position) => {
      result.texts[number].push(message.content);
      if (position !== `${message.epoch}:${message.offset}`) result.positions = false;
    });
    await once(socket, "connect", 20);
    result.joined.push((await ask(socket, "joinRoom", room)).you.id);
    sockets.push(socket);
  }
  for (let round = 0; round < 5; round++) {
    for (const [number, socket] of sockets.entries()) {
      const sent = await ask(socket, "sendMessage", room, { content: `${number}-${round}`, type: "text" });
      if (!sent.ok) result.errors.push(JSON.stringify(sent));
    }
  }
  await until(() => result.texts.every((texts) => texts.length === 5 * sockets.length), "all messages");
  // The first client loses its connection, and comes back by itself.
  const back = once(sockets[0], "connect", 20);
  sockets[0].io.engine.close();
  await ask(sockets[1], "sendMessage", room, { content: "missed", type: "text" });
  await back;
  result.recovered = sockets[0].recovered;
  await ask(sockets[0], "sendMessage", { roomId: room, content: "back", type: "text" });
  await until(() => result.texts.every((texts) => texts.length === 5 * sockets.length + 2), "what it missed");
  sockets.forEach((socket) => socket.disconnect());
}

run()
  .catch((error) => result.errors.push(error.message))
  .then(() => process.stdout.write(JSON.stringify(result), () => process.exit(0)));
