use crate::folder::{Folder, hard, slice, unreadable};

#[test]
fn a_list_names_images_and_labels_wherever_it_was_written() {
    let folder = Folder::new();
    let mut labels = [0; 6];
    labels[2] = 1;
    folder.image("images/a.png", &slice(), 1).labels("masks/a.png", &slice(), &labels);
    folder.image("images/b.png", &slice(), 1);
    folder.text(
        "fold.csv",
        "\u{feff}image_path, mask_path, patient\nelsewhere/data/images/a.png,elsewhere/data/masks/a.png,p\n\
         images/b.png,,p\n",
    );

    let dataset = folder.open("[csv]\nfile = \"fold.csv\"\ngroup = \"patient\"");
    assert_eq!(dataset.ids(), ["a", "b"]);
    assert_eq!((dataset.group("a"), dataset.group("b")), ("p", "p"));
    assert_eq!(hard(&dataset.read("a").unwrap()), labels);
    assert_eq!(dataset.read("b").unwrap().label, None);
    assert_eq!(dataset.files("a").len(), 2);
}

#[test]
fn mistakes_in_a_list_are_pointed_at() {
    let folder = Folder::new();
    folder.image("images/a.png", &slice(), 1).image("other/a.png", &slice(), 1);
    let settings = "[csv]\nfile = \"list.csv\"";

    assert!(folder.refusal(settings).contains("there is no such list"));
    folder.text("list.csv", "image,mask\na,b\n");
    let message = folder.refusal(settings);
    assert!(message.contains("no column \"image_path\", but image, mask"), "{message}");
    folder.text("list.csv", "image_path,mask_path\n");
    assert!(folder.refusal(settings).contains("no row but its header"));
    folder.text("list.csv", "image_path,mask_path\nimages/a.png,\n,b\n");
    assert!(folder.refusal(settings).contains("line 3 names no image"));
    folder.text("list.csv", "image_path,mask_path\na,b,c\n");
    assert!(folder.refusal(settings).contains("write one row for each case"));
    folder.text("list.csv", "image_path,mask_path\nimages/a.png,\nother/a.png,\n");
    assert!(folder.refusal(settings).contains("two files are case a"));
    folder.text("list.csv", "image_path,mask_path\nimages/a.png,masks/none.png\n");
    let message = unreadable(&*folder.open(settings), "a");
    assert!(message.contains("masks/none.png"), "{message}");
}
