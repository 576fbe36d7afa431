"""Chat: Socket.IO connections, rooms that span nodes, and what people do in a class."""
