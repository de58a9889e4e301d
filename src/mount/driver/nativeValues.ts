/**
 * Attributes and statistics in the form fuse-native copies into C: arrays of 32-bit integers.
 * What does not fit is clamped here, so that nothing wraps around on its way. Source: native-notes/fuse-native.md, values.
 */
import type { Attributes, EntryKind, FileSystemStats } from "./port.js";

const U32 = 2 ** 32;
const STAT_FIELDS = 18;
const STATFS_FIELDS = 11;
/** What a C program should read at once; one kernel request. */
const PREFERRED_READ_BYTES = 128 * 1024;
/** What `st_blocks` counts in, whatever the block size. Source: stat(2). */
const STAT_BLOCK_BYTES = 512;

const TYPE_BITS: Readonly<Record<EntryKind, number>> = {
  file: 0o100000,
  folder: 0o040000,
  symlink: 0o120000,
};

/** `struct stat`, in fuse-native's order (fuse-native.c, populate_stat). */
export function statArray(attributes: Attributes, inode: number): Uint32Array {
  const size = Math.max(0, attributes.sizeBytes);
  const fields = new Uint32Array(STAT_FIELDS);
  fields[0] = TYPE_BITS[attributes.kind] | (attributes.permissions & 0o7777);
  fields[1] = clampU32(attributes.uid);
  fields[2] = clampU32(attributes.gid);
  setU64(fields, 3, size);
  fields[6] = 1;
  fields[7] = inode;
  fields[9] = PREFERRED_READ_BYTES;
  // Never less than the size: tools take a file with fewer blocks as one with holes, and skip them.
  setU64(fields, 10, Math.ceil(size / STAT_BLOCK_BYTES));
  setU64(fields, 12, attributes.mtimeMs);
  setU64(fields, 14, attributes.mtimeMs);
  setU64(fields, 16, attributes.ctimeMs);
  return fields;
}

/** What a listing says of an entry: its type, for `d_type`, and its inode, for `d_ino`. */
export function entryStatArray(kind: EntryKind, inode: number): Uint32Array {
  const fields = new Uint32Array(STAT_FIELDS);
  fields[0] = TYPE_BITS[kind];
  fields[7] = inode;
  return fields;
}

/** `struct statvfs`; a large file system is told in larger blocks, since counts have 32 bits. */
export function statfsArray(stats: FileSystemStats): Uint32Array {
  let unitBytes = stats.blockSizeBytes;
  let divisor = 1;
  while (stats.totalBlocks / divisor >= U32 && unitBytes < U32 / 4) {
    unitBytes *= 2;
    divisor *= 2;
  }
  const fields = new Uint32Array(STATFS_FIELDS);
  fields[0] = clampU32(unitBytes);
  fields[1] = clampU32(unitBytes);
  // A part of a block counts whole: the total is never below what the files take.
  fields[2] = clampU32(Math.ceil(stats.totalBlocks / divisor));
  fields[3] = clampU32(Math.floor(stats.freeBlocks / divisor));
  fields[4] = fields[3];
  fields[5] = clampU32(stats.fileCount);
  fields[10] = clampU32(stats.maxNameBytes);
  return fields;
}

function clampU32(value: number): number {
  return Math.min(Math.max(0, Math.floor(value)), U32 - 1);
}

/** Two halves, low one first; what is negative or not a number is 0. */
function setU64(fields: Uint32Array, index: number, value: number): void {
  const whole = value > 0 ? Math.min(Math.floor(value), Number.MAX_SAFE_INTEGER) : 0;
  fields[index] = whole % U32;
  fields[index + 1] = Math.floor(whole / U32);
}
