<?php
session_start();
if (isset($_POST['note'])) {
    $_SESSION['notes'][] = $_POST['note'];
    header('Location: /index.php');
    exit;
}
?>
<!doctype html>
<title>Bakery</title>
<link rel="icon" href="data:,">
<h1>Bakery</h1>
<form method="post" action="/index.php"><input name="note" aria-label="Note"><button>Add</button></form>
<?php foreach ($_SESSION['notes'] ?? [] as $note) { echo '<li>', htmlspecialchars($note), '</li>'; } ?>
<a href="/orders.php">Orders</a>
