/** The part of fuse-native 2.2.6 that the driver uses; the package has no types of its own. */
declare module "fuse-native" {
  type Callback = (error: Error | null | undefined) => void;

  class Fuse {
    /** @param operations only the names count here: what is absent is answered ENOSYS by libfuse itself */
    constructor(
      mountpoint: string,
      operations: Readonly<Record<string, unknown>>,
      options: { readonly timeout: false },
    );
    /** One entry for each thread that libfuse ever started; they are never freed. */
    readonly _threads: ReadonlySet<Buffer>;
    mount(callback: Callback): void;
    close(callback: Callback): void;
    /** Runs a shell; the driver replaces it. */
    static unmount: (mountpoint: string, callback: Callback) => void;
  }

  export default Fuse;
}
