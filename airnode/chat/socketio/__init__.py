"""Socket.IO 5 (socketio/socket.io-protocol, revision 5), without sockets and clocks."""
