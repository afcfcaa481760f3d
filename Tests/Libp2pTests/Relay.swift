import Multiformats
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import Libp2p

/// Stands between the two ends of TCP connections, as a path that takes its time: in each direction bytes go on no
/// faster than a rate, and so long after they came.
final class Relay: Sendable {
    private let listener: any Channel
    private let sockets = NIOLockedValueBox<[any Channel]>([])

    /// - Parameter bytesPerSecond: in each direction; `nil` for no limit.
    init(to target: Multiaddr, delay: TimeAmount = .zero, bytesPerSecond: Int? = nil) async throws {
        guard case .address(let socketAddress) = try TCPEndpoint(target).host else {
            throw Libp2pError(.unsupportedAddress, "no IP")
        }
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [sockets] inbound in
                // On the same loop, and read only when both are there.
                ClientBootstrap(group: inbound.eventLoop)
                    .channelInitializer { outbound in
                        outbound.eventLoop.makeCompletedFuture {
                            let there = Way(to: outbound, delay: delay, bytesPerSecond: bytesPerSecond)
                            let back = Way(to: inbound, delay: delay, bytesPerSecond: bytesPerSecond)
                            there.opposite = back
                            back.opposite = there
                            try inbound.pipeline.syncOperations.addHandler(there)
                            try outbound.pipeline.syncOperations.addHandler(back)
                        }
                    }
                    .connect(to: socketAddress)
                    .map { outbound in sockets.withLockedValue { $0 += [inbound, outbound] } }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    var address: Multiaddr {
        get throws {
            let address = try #require(listener.localAddress)
            return try #require(Multiaddr(tcp: address))
        }
    }

    /// Ends both connections as TCP does, and listens no more.
    func cut() async {
        for channel in [listener] + sockets.withLockedValue({ $0 }) { try? await channel.close().get() }
    }

    /// One direction: the handler of the socket that is read, which writes the other.
    private final class Way: ChannelDuplexHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundIn = ByteBuffer

        /// Until this one has ended.
        var opposite: Way?
        private let target: any Channel
        private let delay: TimeAmount
        private let bytesPerSecond: Int?
        /// What is under way at the full rate, and some for bursts. More is left to the socket.
        private let capacity: Int
        private var underWay = CircularBuffer<(bytes: ByteBuffer, due: NIODeadline)>()
        private var byteCount = 0
        /// When what came so far has left, at the rate.
        private var departure = NIODeadline.uptimeNanoseconds(0)
        private var alarm: Scheduled<Void>?
        private var context: ChannelHandlerContext?
        private var isReadHeld = false
        private var hasEnded = false

        init(to target: any Channel, delay: TimeAmount, bytesPerSecond: Int?) {
            self.target = target
            self.delay = delay
            self.bytesPerSecond = bytesPerSecond
            let product = Double(bytesPerSecond ?? 0) * Double(delay.nanoseconds) / 1e9
            capacity = Int(product) + 4 << 20
        }

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }
        func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

        func read(context: ChannelHandlerContext) {
            isReadHeld = byteCount >= capacity
            if !isReadHeld { context.read() }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            departure = max(departure, .now())
            if let bytesPerSecond {
                departure = departure + .nanoseconds(Int64(bytes.readableBytes) * 1_000_000_000 / Int64(bytesPerSecond))
            }
            underWay.append((bytes, departure + delay))
            byteCount += bytes.readableBytes
            if alarm == nil { goOn() }
        }

        func channelWritabilityChanged(context: ChannelHandlerContext) {
            if context.channel.isWritable { opposite?.goOn() }
            context.fireChannelWritabilityChanged()
        }

        func channelInactive(context: ChannelHandlerContext) {
            hasEnded = true
            if alarm == nil { goOn() }
            context.fireChannelInactive()
        }

        /// Writes what is due, and comes back for the rest: at its time, or when the target takes more.
        private func goOn() {
            let now = NIODeadline.now()
            while target.isWritable, let first = underWay.first, first.due <= now {
                underWay.removeFirst()
                byteCount -= first.bytes.readableBytes
                target.write(first.bytes, promise: nil)
            }
            target.flush()
            if isReadHeld, byteCount < capacity {
                isReadHeld = false
                context?.read()
            }
            alarm?.cancel()
            alarm = nil
            if target.isWritable, let first = underWay.first {
                alarm = target.eventLoop.assumeIsolated().scheduleTask(deadline: first.due) {
                    self.alarm = nil
                    self.goOn()
                }
            } else if hasEnded, underWay.isEmpty || !target.isActive {
                opposite = nil
                target.close(promise: nil)
            }
        }
    }
}
