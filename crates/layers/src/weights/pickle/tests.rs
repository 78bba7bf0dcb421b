use super::*;

/// `\x80\x02`, the instructions, and the stop.
fn program(instructions: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x02", instructions.concat().as_slice(), b"."].concat()
}

fn refused(instructions: &[&[u8]], what: &str) {
    let bytes = program(instructions);
    let error = read(&bytes).expect_err(what).to_string();
    assert!(error.contains(what), "{error} lacks {what}");
}

#[test]
fn values_are_read() {
    let bytes = program(&[
        b"}(K\x05M\x01\x02J\xff\xff\xff\xff\x8a\x00\x8a\x02\x00\x80",
        b"X\x02\x00\x00\x00ab\x88U\x01cN",
        b"\x8b\x09\x00\x00\x00123456789u",
    ]);
    let pickle = read(&bytes).expect("a dict");
    assert_eq!(pickle.len, bytes.len());
    let Value::Dict(dict) = pickle.root else {
        panic!("{:?}", pickle.root);
    };
    assert!(matches!(
        pickle.objects.dicts[dict].as_slice(),
        [
            (Value::Int(5), Value::Int(0x201)),
            (Value::Int(-1), Value::Int(0)),
            (Value::Int(-0x8000), Value::Text("ab")),
            (Value::Bool(true), Value::Text("c")),
            (Value::None, Value::Other),
        ]
    ));
}

#[test]
fn a_dict_of_python_2_is_a_list_of_pairs() {
    let bytes = program(&[b"ccollections\nOrderedDict\n](U\x01aK\x01\x86](U\x01bK\x02ee\x85R"]);
    let pickle = read(&bytes).expect("a dict");
    let Value::Dict(dict) = pickle.root else {
        panic!("{:?}", pickle.root);
    };
    let get = |key| pickle.objects.get(dict, key);
    assert!(matches!(get("a"), Some(Value::Int(1))));
    assert!(matches!(get("b"), Some(Value::Int(2))));
    assert!(get("c").is_none());
}

#[test]
fn names_outside_the_list_are_refused() {
    for (module, name) in [
        ("posix", "system"),
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch", "ComplexFloatStorage"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("collections", "OrderedDict.__reduce__"),
    ] {
        let global = format!("c{module}\n{name}\n");
        let full = format!("{module}.{name}");
        refused(&[global.as_bytes(), b"(X\x02\x00\x00\x00lstR"], &full);
        let stack = [
            &[b'U', module.len() as u8],
            module.as_bytes(),
            &[b'U', name.len() as u8],
            name.as_bytes(),
            b"\x93",
        ];
        refused(&stack, &full);
    }
    refused(&[b"c\x1b[31m\nx\n"], "\\u{1b}[31m.x");
}

#[test]
fn instructions_outside_the_list_are_refused() {
    refused(&[b"ccollections\nOrderedDict\n)\x81"], "NEWOBJ");
    refused(&[b"(iposix\nsystem\n"], "INST");
    refused(&[b"Pid\n"], "PERSID");
    refused(&[b"\x82\x01"], "EXT1");
    refused(&[b"\xff"], "0xff (no known one)");
    refused(&[b"I01\n"], "INT");
}

#[test]
fn arguments_of_calls_are_checked() {
    refused(&[b"K\x01)R"], "not a global");
    refused(&[b"ctorch\nSize\nK\x01R"], "no tuple");
    refused(&[b"ctorch\nSize\n)R"], "Size does not take ()");
    refused(&[b"ctorch._utils\n_rebuild_tensor_v2\n)R"], "does not take");
    refused(&[b"ctorch\nFloatStorage\n)R"], "storage inside");
    refused(&[b"ccollections\nOrderedDict\n](K\x01e\x85R"], "a pair");
    refused(&[b"K\x01}b"], "attributes");
    refused(&[b"K\x01Q"], "description of a storage");
    let storage = |rest: &[u8]| {
        [
            b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu".as_slice(),
            rest,
            b"tQ",
        ]
        .concat()
    };
    refused(&[&storage(b"J\xff\xff\xff\xff")], "-1 is no number");
    refused(&[&storage(b"K\x04(U\x01vK\x02K\x03t")], "3 elements from 2");
    refused(&[&storage(b"K\x04(U\x01vK\x02t")], "no view");
    let tensor = [
        b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        &storage(b"K\x04"),
        b"K\x00J\xfe\xff\xff\xff\x85K\x01\x85\x89}tR",
    ];
    refused(&tensor, "-2 is no number");
}

#[test]
fn the_stack_and_the_memo_are_checked() {
    refused(&[b"0"], "empty stack");
    refused(&[b"K\x01(0"], "empty stack");
    refused(&[b"t"], "a mark");
    refused(&[b"h\x07"], "memo 7");
    refused(&[b"q\x01"], "empty stack");
    refused(&[b"K\x01a"], "empty stack");
    refused(&[b"K\x01K\x02a"], "a list was expected, got an integer");
    refused(&[b"]K\x01K\x02s"], "a dict was expected, got a list");
    refused(&[b"}(K\x01u"], "a key without a value");
    refused(&[b"X\xff\xff\xff\xffab"], "cut off");
    refused(&[b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab"], "cut off");
    refused(&[b"U\x01\xff"], "not UTF-8");
    refused(&[b"ctorch"], "cut off");
    refused(&[b"\x80\x06"], "protocol 6");
    assert!(read(b"").is_err() && read(b"\x80\x02").is_err() && read(b".").is_err());
}

#[test]
fn what_refers_to_itself_or_nests_deeply_takes_no_stack() {
    // A list of a list of a list, and one that doubles with every step if it is written out.
    let deep = [vec![b']'; 200_000], vec![b'a'; 199_999]].concat();
    assert!(read(&program(&[&deep])).is_ok());
    let mut bomb = b"]q\x00".to_vec();
    for i in 0..200 {
        bomb.extend([b']', b'q', i + 1, b'(', b'h', i, b'h', i, b'e']);
    }
    assert!(read(&program(&[&bomb])).is_ok());
    assert!(read(&program(&[b"}q\x00U\x01ah\x00s"])).is_ok());
    // A list that is copied again and again.
    let mut copies = b"](".to_vec();
    copies.extend(b"NN\x86".repeat(10_000));
    copies.extend(b"eq\x00");
    copies.extend(b"ccollections\nOrderedDict\nh\x00\x85R".repeat(10_000));
    refused(&[&copies], "instructions");
}
