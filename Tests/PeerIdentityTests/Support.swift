import Foundation
import PeerIdentity
import Testing

/// The bytes of hexadecimal digits; white space between them does not count.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// Expects that `body` throws an identity error of this code, and returns it.
@discardableResult
func expectError(
    _ code: IdentityError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> IdentityError? {
    let error = #expect(throws: IdentityError.self, sourceLocation: sourceLocation) { try body() }
    #expect(error?.code == code, sourceLocation: sourceLocation)
    return error
}

/// A new directory that is gone after `body`.
func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("identity-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: url) }
    try body(url.path)
}
