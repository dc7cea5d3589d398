//! Reads chunks for workers that do not share a file system with this process.

use cc_core::{blobs::BlobStore, trace};
use serde_bytes::ByteBuf;

use super::{
    Chunk, Content, Piece, Query,
    reader::{ChunkReader, LINE_READ},
};

impl Chunk {
    /// The same chunk with its lines, which are read from files and from the blob store. If a piece
    /// cannot be read, it gets the message, and the worker that does the task reports it.
    #[must_use]
    pub fn load(&self, query: &Query, blobs: &dyn BlobStore) -> Self {
        let _span = trace::serial("read");
        let load = |piece: &Piece| match piece.content {
            Content::Bytes(_) | Content::Missing(_) => piece.clone(),
            Content::File | Content::Blob(_) => {
                let content = read(piece, query, blobs).unwrap_or_else(Content::Missing);
                let size = if let Content::Bytes(bytes) = &content { bytes.len() } else { 0 };
                Piece {
                    path: piece.path.clone(),
                    content,
                    start: piece.start,
                    end: piece.start + size as u64,
                }
            }
        };
        Self { pieces: self.pieces.iter().map(load).collect(), ..*self }
    }
}

fn read(piece: &Piece, query: &Query, blobs: &dyn BlobStore) -> Result<Content, String> {
    let mut reader = ChunkReader::new(query, std::slice::from_ref(piece), blobs);
    let size = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
    // The last line may end after the range.
    let mut bytes = vec![0; size.saturating_add(size.min(LINE_READ) + 1)];
    let mut filled = 0;
    loop {
        match reader.read(&mut bytes[filled..])? {
            0 => break,
            read => filled += read,
        }
        if filled == bytes.len() {
            bytes.resize(2 * filled, 0);
        }
    }
    // Shrinking copies the bytes, which is worth it only if more than an eighth is unused.
    let is_nearly_full = filled >= bytes.len() / 8 * 7;
    bytes.truncate(filled);
    if !is_nearly_full {
        bytes.shrink_to_fit();
    }
    Ok(Content::Bytes(ByteBuf::from(bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use cc_core::{blobs::MemStore, stop::Stop};

    use crate::{Output, Sorter, Task};

    #[test]
    fn a_loaded_chunk_gives_the_same_run() {
        let scratch = tempfile::tempdir().unwrap();
        let query =
            Query { base: scratch.path().as_os_str().as_encoded_bytes().to_vec().into(), ..Query::default() };
        fs::write(scratch.path().join("a"), "c\nb\na").unwrap();
        let piece = |start, end| Piece { path: b"a".to_vec().into(), content: Content::File, start, end };
        let pieces = vec![piece(0, 3), piece(3, 5), piece(0, 1)];
        let chunk = Chunk { number: 3, pieces, room: 1 << 20, block: 1 << 10 };
        let blobs = MemStore::default();
        let loaded = chunk.load(&query, &blobs);
        assert!(loaded.pieces.iter().all(|piece| matches!(piece.content, Content::Bytes(_))));
        fs::remove_file(scratch.path().join("a")).unwrap();
        let mut sorter = Sorter::new(&query, &Stop::new());
        let Output::Runs(made) = sorter.task(&Task::Chunk(loaded), &blobs) else { panic!("it failed") };
        assert_eq!((made.read.files, made.read.lines, made.read.bytes), (2, 4, 8));
        let gone = chunk.load(&query, &blobs);
        let Output::Failed(why) = sorter.task(&Task::Chunk(gone), &blobs) else { panic!("it is gone") };
        assert_eq!(why, "cannot read: a: No such file or directory");
    }
}
