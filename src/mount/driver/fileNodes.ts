/**
 * What the kernel holds of each file: which version a node shows, and which files are open on it.
 * The rule it keeps: a node shows one version for ever. State only; `detacher.ts` acts on it.
 *
 * libfuse makes a node of a folder and a name, so a changed file would go on in the old node: its cached pages,
 * its size, and both versions' handles. Source: native-notes/fuse-native.md, versions.
 */
import type { Attributes } from "./port.js";

export interface FileNode {
  /** Where the kernel sees it: the file's path, or a hidden one once it is detached. */
  path: string;
  readonly version: string;
  /** The file system's handles that are open on it. */
  readonly handles: Set<number>;
  /** Calls on it that wait for data; libfuse renames the node only when all are answered. */
  callsPending: number;
  /** Until when reads whose data is there are answered, while the node is about to be renamed. */
  answersHeld: Promise<void> | undefined;
}

/** No file of a mount can have a name that starts so. */
const HIDDEN_PREFIX = ".psync-old-";

/** Kept longer than the kernel may believe attributes, so that none it still believes is forgotten here. */
const SHOWN_MEMORY_FACTOR = 2;

export interface FileNodes {
  /** The node that a path leads to now, where one was opened. */
  current(path: string): FileNode | undefined;
  /** The old node behind a hidden path. */
  detached(path: string): FileNode | undefined;
  /** Nodes with open files that are still under their own path. */
  openNodes(): FileNode[];
  /** The node that was remembered longest and has no open files, once there are too many. */
  surplus(): FileNode | undefined;
  /** Puts a node at the end of those that are forgotten first. */
  postpone(node: FileNode): void;
  /** Drops a node that the kernel has not any more. */
  forget(node: FileNode): void;
  addHandle(path: string, file: { readonly version: string; readonly handle: number }): FileNode;
  removeHandle(node: FileNode, handle: number): void;
  /** Gives the path to the file's next version; its node goes on under the hidden one. */
  detach(path: string, hiddenPath: string): void;
  /** Remembers what the kernel was told of a file that has no open node. */
  noteShown(path: string, attributes: Attributes): void;
  /** Whether the kernel may hold attributes of the path that are not these. */
  wasShownOtherwise(path: string, attributes: Attributes): boolean;
  readonly size: number;
}

export interface FileNodesOptions {
  readonly nowMs: () => number;
  /** How long the kernel believes attributes. */
  readonly attributesValidMs: number;
  readonly maxRemembered: number;
}

type Shown = Pick<Attributes, "sizeBytes" | "mtimeMs">;

export function createFileNodes(options: FileNodesOptions): FileNodes {
  const nodes = new Map<string, FileNode>();
  const hidden = new Map<string, FileNode>();
  const shown = createShownMemory(options);

  return {
    current: (path) => nodes.get(path),
    detached: (path) => hidden.get(path),
    openNodes: () => [...nodes.values()].filter((node) => node.handles.size > 0),
    surplus() {
      if (nodes.size <= options.maxRemembered) return undefined;
      for (const node of nodes.values()) if (node.handles.size === 0) return node;
      return undefined;
    },
    postpone(node) {
      if (nodes.get(node.path) !== node) return;
      nodes.delete(node.path);
      nodes.set(node.path, node);
    },
    forget(node) {
      if (nodes.get(node.path) === node) nodes.delete(node.path);
    },
    addHandle(path, { version, handle }) {
      const node = nodes.get(path) ?? {
        path,
        version,
        handles: new Set(),
        callsPending: 0,
        answersHeld: undefined,
      };
      nodes.set(path, node);
      node.handles.add(handle);
      return node;
    },
    removeHandle(node, handle) {
      node.handles.delete(handle);
      if (node.handles.size === 0) hidden.delete(node.path);
    },
    detach(path, hiddenPath) {
      const node = nodes.get(path);
      nodes.delete(path);
      shown.forget(path);
      if (node === undefined || node.handles.size === 0) return;
      node.path = hiddenPath;
      hidden.set(hiddenPath, node);
    },
    noteShown(path, attributes) {
      shown.note(path, attributes);
    },
    wasShownOtherwise: (path, attributes) => shown.differs(path, attributes),
    get size() {
      return nodes.size + hidden.size;
    },
  };
}

/** A path in the same folder that no file can have. */
export function hiddenPathFor(path: string, serial: number): string {
  return `${path.slice(0, path.lastIndexOf("/") + 1)}${HIDDEN_PREFIX}${serial}`;
}

/** Whether the path is one that only detached nodes have. */
export function isHiddenPath(path: string): boolean {
  return path.startsWith(HIDDEN_PREFIX, path.lastIndexOf("/") + 1);
}

/** Two generations of entries, so that forgetting costs nothing for each. */
function createShownMemory({ nowMs, attributesValidMs }: FileNodesOptions) {
  const memoryMs = attributesValidMs * SHOWN_MEMORY_FACTOR;
  let recent = new Map<string, Shown>();
  let older = new Map<string, Shown>();
  let turnedAtMs = nowMs();

  const turn = (): void => {
    const ageMs = nowMs() - turnedAtMs;
    if (ageMs < memoryMs) return;
    older = ageMs < 2 * memoryMs ? recent : new Map<string, Shown>();
    recent = new Map();
    turnedAtMs = nowMs();
  };

  return {
    note(path: string, { sizeBytes, mtimeMs }: Shown): void {
      turn();
      recent.set(path, { sizeBytes, mtimeMs });
    },
    differs(path: string, attributes: Shown): boolean {
      turn();
      const told = recent.get(path) ?? older.get(path);
      if (told === undefined) return false;
      return told.sizeBytes !== attributes.sizeBytes || told.mtimeMs !== attributes.mtimeMs;
    },
    forget(path: string): void {
      recent.delete(path);
      older.delete(path);
    },
  };
}
