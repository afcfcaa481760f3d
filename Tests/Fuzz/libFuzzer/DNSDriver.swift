/// Gives libFuzzer's inputs to the check of Tests/RoutingTests/DNSCheck.swift.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    if let failure = dnsFailure(Array(UnsafeBufferPointer(start: data, count: count))) { fatalError(failure) }
    return 0
}
