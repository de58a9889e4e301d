/** nginx from the system over a plain folder, for the tests that hold psync to what static servers do. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { ask } from "./rawHttp.js";

const ENV = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin` };

export function hasNginx(): boolean {
  return spawnSync("nginx", ["-v"], { env: ENV }).status === 0;
}

export interface Nginx {
  readonly url: string;
  close(): Promise<void>;
}

export async function startNginx(blocks: readonly VerifiedBlock[]): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), "psync-nginx-"));
  const root = join(folder, "blocks");
  await mkdir(root);
  for (const { hash, bytes } of blocks) await writeFile(join(root, hash), bytes);
  const port = await freePort();
  const confPath = join(folder, "nginx.conf");
  await writeFile(confPath, configOf({ folder, root, port }));

  const child = spawn("nginx", ["-p", folder, "-e", join(folder, "error.log"), "-c", confPath], {
    env: ENV,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  const url = `http://127.0.0.1:${port}`;
  const isUp = (): Promise<boolean> =>
    ask(url).then(
      () => true,
      () => false,
    );
  for (let nth = 0; !(await isUp()); nth += 1) {
    if (nth > 1000 || child.exitCode !== null) throw new Error(`nginx did not start: ${complaint}`);
  }
  return {
    url,
    async close() {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

function configOf(place: { folder: string; root: string; port: number }): string {
  const { folder, root, port } = place;
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${join(folder, name)};`)
    .join("\n  ");
  return `${process.getuid?.() === 0 ? "user root;\n" : ""}daemon off;
worker_processes 1;
pid ${join(folder, "nginx.pid")};
error_log ${join(folder, "error.log")};
events { worker_connections 64; }
http {
  access_log off;
  ${temp}
  server {
    listen 127.0.0.1:${port};
    location ~ "^/[0-9a-f]{64}$" {
      root ${root};
      default_type application/octet-stream;
      add_header cache-control "public, max-age=31536000, immutable";
    }
    location / { return 404; }
  }
}
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : 0;
}
