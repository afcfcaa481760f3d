import Multiformats

/// Varints and CIDs.
let namingParts: [Part] = [
    Part("varint: write and read 64", isShort: true) {
        // Of every length there is.
        let values = (0..<64).map { (UInt64.max >> 1) >> UInt64($0) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(1024)
        return Work {
            bytes.removeAll(keepingCapacity: true)
            for value in values { UVarint.encode(value, into: &bytes) }
            try bytes.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let (value, length) = try UVarint.decode(UnsafeRawBufferPointer(rebasing: rest))
                    keep(value)
                    rest = rest.dropFirst(length)
                }
            }
        }
    },
    Part("CID: read text", isShort: true) { Work { keep(try CID(text)) } },
    Part("CID: read bytes", isShort: true) {
        let bytes = try CID(text).bytes
        return Work { keep(try bytes.withUnsafeBytes { try CID(decoding: $0) }) }
    },
    Part("CID: write text", isShort: true) {
        let cid = try CID(text)
        return Work { keep(cid.description) }
    },
]

private let text = "bafkreibceu2i6hie2z7kn7ydttsn62w7kjzbauysqv7gc443k7g7atv5sq"
