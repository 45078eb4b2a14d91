// node http-proxy, with one agent that keeps its connections.
const http = require('http'), https = require('https'), fs = require('fs');
const httpProxy = require('http-proxy');
const headers = { authorization: '@CREDENTIAL@', host: 'localhost' };
const failed = (error, request, answer) => { try { answer.writeHead(502); answer.end(); } catch { } };

function serve(port, target, agent) {
  const proxy = httpProxy.createProxyServer({ target, agent, headers });
  const sockets = httpProxy.createProxyServer({ target: 'ws://127.0.0.1:@SOCKETS@', ws: true, headers });
  proxy.on('error', failed);
  sockets.on('error', () => { });
  const server = http.createServer({ keepAliveTimeout: 600000 }, (request, answer) => proxy.web(request, answer));
  server.on('upgrade', (request, socket, head) => sockets.ws(request, socket, head));
  server.listen(port, '127.0.0.1', 4096);
}

const kept = { keepAlive: true, maxSockets: Infinity };
serve(@PORT@, 'http://127.0.0.1:@BACKEND@', new http.Agent(kept));
serve(@PORT_TLS@, 'https://127.0.0.1:@BACKEND_TLS@',
  new https.Agent({ ...kept, ca: fs.readFileSync('@FOLDER@/certificate.pem'), servername: 'localhost' }));
