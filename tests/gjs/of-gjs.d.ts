// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the declarations of AFork, the examples and the tests use of GLib, GObject, Gio and GJS. A
// program uses the packages of @girs instead.

declare module 'gi://GObject?version=2.0' {
    namespace GObject {
        class Object {
            connect(signal: string, callback: (source: this, ...args: any[]) => any): number;
            disconnect(id: number): void;
        }
        namespace Object {
            interface ConstructorProps {}
        }
    }
    export default GObject;
}

declare module 'gi://GLib?version=2.0' {
    namespace GLib {
        const PRIORITY_DEFAULT: number;
        const SOURCE_REMOVE: boolean;
        const SOURCE_CONTINUE: boolean;
        function timeout_add(priority: number, interval: number, callback: () => boolean): number;
        function source_remove(id: number): boolean;
        function file_get_contents(path: string): [boolean, Uint8Array];
        class Error {
            code: number;
            domain: number;
            message: string;
            matches(domain: any, code: number): boolean;
        }
        class Variant {
            constructor(type: string, value: any);
            deepUnpack(): any;
            print(annotate: boolean): string;
        }
        class Bytes {
            constructor(data: Uint8Array);
            get_size(): number;
            toArray(): Uint8Array;
        }
        class MainContext {
            iteration(may_block: boolean): boolean;
        }
        class MainLoop {
            constructor(context: MainContext | null, is_running: boolean);
            run(): void;
            runAsync(): Promise<void>;
            quit(): void;
        }
        type DestroyNotify = () => void;
    }
    export default GLib;
}

declare module 'gi://Gio?version=2.0' {
    import type GObject from 'gi://GObject?version=2.0';
    import type GLib from 'gi://GLib?version=2.0';
    namespace Gio {
        type AsyncReadyCallback = (source: any, result: AsyncResult) => void;
        interface AsyncResult { get_source_object(): GObject.Object | null; }
        interface File extends GObject.Object { __file: never; }
        interface ListModel extends GObject.Object { get_n_items(): number; }
        interface MemoryMonitor extends GObject.Object { __memory: never; }
        interface PowerProfileMonitor extends GObject.Object { __power: never; }
        enum IOErrorEnum { INVALID_ARGUMENT = 13, CANCELLED = 19 }
        class Cancellable extends GObject.Object {
            cancel(): void;
            is_cancelled(): boolean;
        }
        class InputStream extends GObject.Object {
            read_bytes(count: number, cancellable: Cancellable | null): GLib.Bytes;
            close(cancellable: Cancellable | null): boolean;
        }
        class OutputStream extends GObject.Object {
            write_all(data: Uint8Array, cancellable: Cancellable | null): [boolean, number];
        }
        class Socket extends GObject.Object {
            get_fd(): number;
            shutdown(read: boolean, write: boolean): boolean;
        }
        class SocketConnection extends GObject.Object {
            get_input_stream(): InputStream;
            get_output_stream(): OutputStream;
            get_socket(): Socket;
            close(cancellable: Cancellable | null): boolean;
        }
        class UnixFDList extends GObject.Object {
            static new(): UnixFDList;
            append(fd: number): number;
            get(index: number): number;
            get_length(): number;
        }
        class ListStore extends GObject.Object implements ListModel {
            get_n_items(): number;
        }
    }
    export default Gio;
}

declare module 'gi://GLib' {
    import GLib from 'gi://GLib?version=2.0';
    export default GLib;
}

declare module 'gi://Gio' {
    import Gio from 'gi://Gio?version=2.0';
    export default Gio;
}

declare module 'system' {
    const System: { exit(status: number): never; programArgs: string[]; };
    export default System;
}

declare function print(...args: any[]): void;
declare function printerr(...args: any[]): void;
declare class TextDecoder { decode(bytes?: Uint8Array): string; }
declare class TextEncoder { encode(text?: string): Uint8Array; }
declare const console: { log(...args: any[]): void; error(...args: any[]): void; };
