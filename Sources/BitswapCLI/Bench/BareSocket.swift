#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A TCP socket with nothing between it and the system: what the transport is compared with. Every call blocks.
final class BareSocket: Sendable {
    private let descriptor: Int32

    private init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Listens on a free port of 127.0.0.1.
    static func listening() throws -> BareSocket {
        let socket = try BareSocket()
        var address = loopback(port: 0)
        let done = withAddress(&address) { bind(socket.descriptor, $0, $1) == 0 }
        guard done, listen(socket.descriptor, 8) == 0 else { throw failure("listen on 127.0.0.1") }
        return socket
    }

    static func connected(to port: UInt16) throws -> BareSocket {
        let socket = try BareSocket()
        var address = loopback(port: port)
        guard withAddress(&address, { connect(socket.descriptor, $0, $1) == 0 }) else {
            throw failure("connect to 127.0.0.1:\(port)")
        }
        return socket
    }

    var port: UInt16 {
        get throws {
            var address = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let done = Self.withAddress(&address) { pointer, _ in getsockname(descriptor, pointer, &size) == 0 }
            guard done else { throw Self.failure("find the port of a socket") }
            return UInt16(bigEndian: address.sin_port)
        }
    }

    func accepted() throws -> BareSocket {
        let accepted = accept(descriptor, nil, nil)
        guard accepted >= 0 else { throw Self.failure("accept a connection") }
        let socket = BareSocket(owning: accepted)
        socket.setNoDelay()
        return socket
    }

    /// Writes all the bytes.
    func send(_ bytes: UnsafeRawBufferPointer) throws {
        let number = writeAll(bytes, to: descriptor)
        guard number == 0 else { throw CommandFailure(message: "cannot send: \(String(cString: strerror(number)))") }
    }

    /// Reads what there is, at least one byte. 0 at the end of the stream.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR else { throw Self.failure("receive") }
        }
    }

    /// Fills the buffer. False at the end of the stream.
    func receiveAll(into buffer: UnsafeMutableRawBufferPointer) throws -> Bool {
        var rest = buffer[...]
        while !rest.isEmpty {
            let count = try receive(into: UnsafeMutableRawBufferPointer(rebasing: rest))
            if count == 0 { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private convenience init() throws {
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { throw Self.failure("make a socket") }
        self.init(owning: descriptor)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        setNoDelay()
    }

    private func setNoDelay() {
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func loopback(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func withAddress<R>(
        _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> R
    ) -> R {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func failure(_ what: String) -> CommandFailure {
        CommandFailure(message: "cannot \(what): \(String(cString: strerror(errno)))")
    }
}
