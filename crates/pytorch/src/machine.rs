//! The machine that a pickle is a program for: a stack, a memory, and no way out.

use std::collections::HashMap;

use crate::known;
use crate::node::{Graph, Id, Node};
use crate::number::whole;
use crate::reader::{Fault, Reader};

/// What a pickle made.
#[derive(Clone, Debug)]
pub(crate) struct Pickle {
    pub(crate) graph: Graph,
    pub(crate) root: Id,
}

/// Runs a pickle; where it does not fit, says what and where.
pub(crate) fn run(program: &[u8]) -> Result<Pickle, Fault> {
    let mut reader = Reader::new(program);
    let mut machine = Machine {
        graph: Graph::of_program(program.len()),
        stack: Vec::new(),
        marks: Vec::new(),
        memory: HashMap::new(),
    };
    loop {
        let at = reader.at();
        match machine.step(&mut reader) {
            Ok(None) => {}
            Ok(Some(root)) => return Ok(Pickle { graph: machine.graph, root }),
            Err(fault) => return Err(format!("its pickle is wrong at byte {at}: {fault}")),
        }
    }
}

#[derive(Debug)]
struct Machine {
    graph: Graph,
    stack: Vec<Id>,
    /// Where the stack was when a mark was set.
    marks: Vec<usize>,
    memory: HashMap<u64, Id>,
}

impl Machine {
    /// One instruction; what it made, where that was the last. The letters are those of Python's `pickletools`.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<Option<Id>, Fault> {
        match reader.byte()? {
            // PROTO, FRAME: what is said of the rest is not needed.
            0x80 => drop(reader.byte()?),
            0x95 => drop(reader.length()?),
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => self.stack.push(self.top()?),

            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => self.push(Node::Int(reader.i32()?.into()))?,
            b'K' => self.push(Node::Int(reader.byte()?.into()))?,
            b'M' => self.push(Node::Int(reader.u16()?.into()))?,
            0x8a => self.whole(reader.short()?)?,
            0x8b => self.whole(reader.sized()?)?,
            b'I' | b'L' => self.written(reader.line()?)?,
            b'F' => {
                let value = reader.line()?.parse().map_err(|_| "a number is none")?;
                self.push(Node::Float(value))?;
            }
            b'G' => self.push(Node::Float(f64::from_be_bytes(reader.array()?)))?,

            // T and U are text of Python 2.
            b'X' | b'T' => self.text(reader.sized()?)?,
            0x8c | b'U' => self.text(reader.short()?)?,
            0x8d => {
                let length = reader.length()?;
                self.text(reader.take(length)?)?;
            }
            b'V' => self.text(reader.line()?.as_bytes())?,
            b'B' => self.push(Node::Bytes(reader.sized()?.to_vec()))?,
            b'C' => self.push(Node::Bytes(reader.short()?.to_vec()))?,
            0x8e => {
                let length = reader.length()?;
                self.push(Node::Bytes(reader.take(length)?.to_vec()))?;
            }

            code => self.compose(code, reader)?,
        }
        Ok(None)
    }

    /// An instruction that makes something of what is there.
    fn compose(&mut self, code: u8, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match code {
            // A set is a list here.
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'l' | 0x91 => {
                let parts = self.marked()?;
                self.push(Node::List(parts))
            }
            b'a' => {
                let part = self.pop()?;
                self.extend(vec![part])
            }
            b'e' | 0x90 => {
                let parts = self.marked()?;
                self.extend(parts)
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' => {
                let parts = self.marked()?;
                self.push(Node::Tuple(parts))
            }
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(code - 0x84));
                let start = start.filter(|&start| start >= self.floor()).ok_or(EMPTY)?;
                let parts = self.stack.split_off(start);
                self.push(Node::Tuple(parts))
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let parts = pairs(&self.marked()?)?;
                self.push(Node::Dict(parts))
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])
            }
            b'u' => {
                let parts = pairs(&self.marked()?)?;
                self.set(parts)
            }
            code => self.call(code, reader),
        }
    }

    /// An instruction that names something, remembers it, or would call it.
    fn call(&mut self, code: u8, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match code {
            b'c' => {
                let (module, name) = (reader.line()?.to_owned(), reader.line()?.to_owned());
                self.push(Node::Global { module, name })
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| self.graph.text(id).ok_or("a name is no text").map(str::to_owned);
                let (module, name) = (text(module)?, text(name)?);
                self.push(Node::Global { module, name })
            }
            // REDUCE and NEWOBJ: a function or class, and what it is given.
            b'R' | 0x81 => {
                let (given, called) = (self.pop()?, self.pop()?);
                self.made(called, given)
            }
            // NEWOBJ_EX has named arguments as well.
            0x92 => {
                let (_, given, called) = (self.pop()?, self.pop()?, self.pop()?);
                self.made(called, given)
            }
            b'i' => {
                let (module, name) = (reader.line()?.to_owned(), reader.line()?.to_owned());
                let parts = self.marked()?;
                let given = self.add(Node::Tuple(parts))?;
                let called = self.add(Node::Global { module, name })?;
                self.made(called, given)
            }
            b'o' => {
                let parts = self.marked()?;
                let (&called, parts) = parts.split_first().ok_or(EMPTY)?;
                let given = self.add(Node::Tuple(parts.to_vec()))?;
                self.made(called, given)
            }
            b'b' => {
                let state = self.pop()?;
                let built = self.top()?;
                known::build(&mut self.graph, built, state);
                Ok(())
            }
            b'Q' => {
                let named = self.pop()?;
                let storage = known::storage(&self.graph, named)?;
                self.push(storage)
            }
            b'q' => self.remember(reader.byte()?.into()),
            b'r' => self.remember(reader.u32()?.into()),
            0x94 => self.remember(self.memory.len() as u64),
            b'p' => {
                let place = reader.line()?.parse().map_err(|_| "a place is no number")?;
                self.remember(place)
            }
            b'h' => self.recall(reader.byte()?.into()),
            b'j' => self.recall(reader.u32()?.into()),
            b'g' => self.recall(reader.line()?.parse().map_err(|_| "a place is no number")?),
            code => Err(format!("there is no instruction {code:#04x} in a file of PyTorch")),
        }
    }

    fn add(&mut self, node: Node) -> Result<Id, Fault> {
        self.graph.add(node).ok_or_else(|| "it makes too many things".into())
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        let id = self.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    fn made(&mut self, called: Id, given: Id) -> Result<(), Fault> {
        let made = known::call(&mut self.graph, called, given)?;
        self.stack.push(made);
        Ok(())
    }

    /// What is below the last mark is out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Fault> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| EMPTY.into())
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// All since the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn whole(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Python's numbers have no end; one beyond 64 bits is of no use here, and no reason to give up.
        self.push(whole(bytes).map_or_else(|| Node::Opaque("a large number".to_owned()), Node::Int))
    }

    /// A number, or a flag, in digits.
    fn written(&mut self, line: &str) -> Result<(), Fault> {
        let node = match line {
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            _ => Node::Int(line.trim_end_matches('L').parse().map_err(|_| "a number is none")?),
        };
        self.push(node)
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Python keeps halves of surrogate pairs in text; nothing that is looked for has any.
        self.push(Node::Text(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn extend(&mut self, parts: Vec<Id>) -> Result<(), Fault> {
        let list = self.top()?;
        match self.graph.node_mut(list) {
            Node::List(all) => all.extend(parts),
            // A list of another class.
            Node::Opaque(_) => {}
            _ => return Err("something is appended to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, parts: Vec<(Id, Id)>) -> Result<(), Fault> {
        let dict = self.top()?;
        match self.graph.node_mut(dict) {
            Node::Dict(all) => all.extend(parts),
            Node::Opaque(_) => {}
            _ => return Err("a key is set in what is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, place: u64) -> Result<(), Fault> {
        let top = self.top()?;
        self.memory.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), Fault> {
        let id = self.memory.get(&place).copied().ok_or("nothing was kept where it looks")?;
        self.stack.push(id);
        Ok(())
    }
}

const EMPTY: &str = "it takes something from an empty stack";

fn pairs(parts: &[Id]) -> Result<Vec<(Id, Id)>, Fault> {
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a key has no value".into());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
