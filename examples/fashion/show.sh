#!/usr/bin/env bash
# show.sh FOLDER [short] -- what tvc does, on real pictures: a network learns seven kinds of clothing, gets a new
# head for the three others, learns these from five pictures each, and classifies; beside it the two ways that
# need more. Then the same network elsewhere: as a package, in ONNX Runtime.
#
# Runs $TVC and leaves what it makes in FOLDER. `short` learns less, for a test. Fails where a step does not do what
# it says; exits with 77 where the pictures or ONNX Runtime are missing.
set -eu -o pipefail
here=$(dirname "$0")
here=${here#"$PWD"/}
out=$1
data=/usr/share/datasets/fashion-mnist
pictures=$data/t10k-images-idx3-ubyte.gz
names=$here/names.txt
seven="T-shirt/top,Trouser,Pullover,Coat,Sandal,Shirt,Ankle boot"
three=Dress,Sneaker,Bag
if [ "${2:-}" = short ]; then epochs=1 most=400 long=4 least=0.6; else epochs=4 most=3000 long=20 least=0.85; fi

say() { printf '\n== %s\n' "$*"; }
tvc() { "$TVC" "$@"; }
quoted() { case $1 in *[!A-Za-z0-9_,./:=+-]*) printf " '%s'" "$1" ;; *) printf ' %s' "$1" ;; esac; }
command_line() { printf '$'; for word; do quoted "$word"; done; printf '\n'; }
show() { command_line "$@"; "$@"; }
show_end() { local lines=$1; shift; command_line "$@"; "$@" | tail -n "$lines"; }
judge() { "$here"/../../tests/python.sh "$here"/check.py "$@"; }
top1() { sed -n 's/.*"top1": *\([0-9.e-]*\).*/\1/p;T;q' "$out/$1".json; }        # the first one is that of all pictures

[ -f $pictures ] && judge 2>/dev/null || { echo "skipped: run tools/setup.sh demo"; exit 77; }
mkdir -p "$out"

say "A network learns: random weights, seven classes of clothing, $most pictures of each"
show tvc new resnet8 --input-channels 1 --size 28 -o "$out"/fresh.onnx
show tvc train "$out"/fresh.onnx $data --class-names "$names" --classes "$seven" --per-class $most --recipe full --augment none \
    --epochs $epochs --batch 64 --lr 0.1 --schedule one-cycle --weight-decay 5e-4 -o "$out"/seven.onnx

say "What is in the file now, and where its head is"
show_end 8 tvc inspect "$out"/seven.onnx

say "Three new classes, five pictures each: a new head on a frozen backbone"
few=(--class-names "$names" --classes $three --per-class 5)
show_end 2 tvc train "$out"/seven.onnx $data "${few[@]}" --batch 5 --lr 0.01 -o "$out"/mine.onnx

say "What it says of three pictures that it has never seen"
show tvc run "$out"/mine.onnx "$here"/dress.png "$here"/sneaker.png "$here"/bag.png --top 1

say "The other ways, with the same pictures: all layers learn, from what was learnt before and from random weights"
all=(--recipe full --augment none --batch 5 --epochs $long)
show_end 2 tvc train "$out"/seven.onnx $data "${few[@]}" "${all[@]}" -o "$out"/full.onnx
show_end 2 tvc train "$out"/fresh.onnx $data "${few[@]}" "${all[@]}" -o "$out"/scratch.onnx

say "All three on the 3000 test pictures of these classes"
row() {
    tvc eval "$out/$1".onnx $data --class-names "$names" --classes $three --json >"$out/$1".json
    printf '%-44s %5.1f %%\n' "$2" "$(top1 "$1" | awk '{ print 100 * $1 }')"
}
row mine "a new head, everything else frozen"
row full "all layers, from the pretrained weights"
row scratch "all layers, from random weights"
awk -v head="$(top1 mine)" -v scratch="$(top1 scratch)" -v least=$least \
    'BEGIN { exit !(head >= least && head > scratch) }' || { echo "the new head is not what it should be"; exit 1; }

say "The same network as a package: no ONNX file, no compiler needed"
show tvc compile "$out"/mine.onnx -o "$out"/mine.tvc
show tvc run "$out"/mine.tvc "$here"/sneaker.png --top 3

say "And in ONNX Runtime"
tvc run "$out"/mine.onnx $pictures:0-99 --top 3 --json >"$out"/answers.json
judge accepts "$out"/mine.onnx "$out"/answers.json $pictures

say "A file from elsewhere: exported by PyTorch, it names seven of the ten classes"
show tvc run "$here"/fashion7.onnx $pictures:0-4 --top 1
tvc run "$here"/fashion7.onnx $pictures:0-999 --top 1 --json >"$out"/answers.json
judge answers "$here"/fashion7.onnx "$out"/answers.json $data/t10k-labels-idx1-ubyte.gz

say "Shown: a network made, trained, given a new head, taught from 15 pictures, evaluated, run, packed, and run by ONNX Runtime"
cat <<END
It lies in $out; $out/mine.run/report.html tells of its training. Next, with photos of your own in photos/CLASS/*.jpg
and a pretrained model.onnx:
    build/tvc train model.onnx photos/ -o mine.onnx
END
