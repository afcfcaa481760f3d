import NIOCore

/// Runs tasks on the event loop of a connection: see ``Connection/taskExecutor``.
private final class ConnectionExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
}

extension Connection {
    /// Runs tasks on the ``eventLoop``: what such a task wants of the peer, and gets, wakes no other thread.
    ///
    ///     let block = try await withTaskExecutorPreference(connection.taskExecutor) { try await node.blocks.get(cid) }
    ///
    /// For tasks that wait most of the time, since all connections of the loop stand still while one works. They must have
    /// ended before the event loop is shut down.
    public var taskExecutor: any TaskExecutor { ConnectionExecutor(eventLoop) }
}
